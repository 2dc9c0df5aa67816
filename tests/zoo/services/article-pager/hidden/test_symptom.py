from magazine.sections import Section


def test_the_last_article_raises_nothing():
    Section("x", ["a", "b", "c"]).neighbours("c")
