# run: {python} service.py
import logging
import time


class Node:
    __slots__ = ("children", "name", "parent", "size")

    def __init__(self, name, size=0, parent=None):
        self.name, self.size, self.parent = name, size, parent
        self.children = []
        if parent is not None:
            parent.children.append(self)


def usage(node, depth=0):
    if not node.children:
        return node.size + depth  # crash
    return sum(usage(child, depth + 1) for child in node.children)


root = Node("/")
home = Node("home", parent=root)
Node("ada", 10, home)
Node("bob", None, home)
while True:
    try:
        usage(root)
    except TypeError:
        logging.getLogger("usage").error("no usage", exc_info=True)
    time.sleep(5)
