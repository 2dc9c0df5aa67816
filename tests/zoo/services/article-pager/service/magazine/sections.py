"""Sections: articles in the order they appeared."""


class UnknownArticle(LookupError):
    """Told to the reader as 404."""


class Section:
    def __init__(self, name, slugs):
        self.name = name
        self.slugs = list(slugs)

    def place(self, slug):
        try:
            return self.slugs.index(slug)
        except ValueError:
            raise UnknownArticle(slug) from None

    def neighbours(self, slug):
        """(previous, next) article, None where there is none."""
        place = self.place(slug)
        previous = self.slugs[place - 1] if place > 0 else None
        following = self.slugs[place + 1] if place < len(self.slugs) else None
        return previous, following

    def newest(self, count=3):
        return self.slugs[-count:][::-1]


SECTIONS = {
    name: Section(name, [f"{name}-{number}" for number in range(1, count + 1)])
    for name, count in (("travel", 6), ("food", 4), ("film", 8))
}
