# run: {python} service.py
import csv
import io
import time

TEXT = "sku,price\na,1.50\nb,free\n"


class Row:
    def __init__(self, values):
        self.values = values

    def cents(self):
        return round(float(self.values["price"]) * 100)  # crash


def totals(rows):
    return sum(row.cents() for row in rows)


def main():
    time.sleep(4.0)
    rows = (Row(values) for values in csv.DictReader(io.StringIO(TEXT)))
    print(totals(rows))


main()
