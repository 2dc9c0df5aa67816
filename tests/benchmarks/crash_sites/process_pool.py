# run: {python} service.py
import time
from concurrent.futures import ProcessPoolExecutor


def histogram(samples, edges):
    counts = [0] * (len(edges) - 1)
    for sample in samples:
        place = max(n for n, edge in enumerate(edges) if edge <= sample)
        counts[place] += 1  # crash
    return counts


if __name__ == "__main__":
    with ProcessPoolExecutor(1) as pool:
        future = pool.submit(histogram, [1, 2, 9], [0, 2, 4])
        if future.exception():
            time.sleep(60)
