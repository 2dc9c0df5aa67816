# run: {python} service.py
import multiprocessing
import time


class Grid:
    def __init__(self, cells):
        self.cells = cells

    def neighbours(self, row, column):
        return [self.cells[row + 1][column], self.cells[row][column + 1]]  # crash


def work(grid, places):
    for place in places:
        grid.neighbours(*place)


if __name__ == "__main__":
    child = multiprocessing.Process(target=work, args=(Grid([[1, 2], [3, 4]]), [(0, 0), (1, 1)]))
    child.start()
    child.join()
    time.sleep(60)
