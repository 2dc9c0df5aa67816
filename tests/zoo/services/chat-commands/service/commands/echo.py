"""Says it again."""


def run(words):
    return " ".join(words)
