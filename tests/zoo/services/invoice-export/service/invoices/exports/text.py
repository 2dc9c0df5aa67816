"""Plain text, for mails."""

WIDTH = 32


def amount(cents):
    return f"{cents // 100}.{cents % 100:02}"


<<<<<<< HEAD
def render(rows, currency):
    lines = [f"{row['name']:<{WIDTH}}{amount(row['cents']):>10} {currency}" for row in rows]
    lines.append("-" * (WIDTH + 14))
=======
def render(rows):
    lines = [f"{row['name']:<{WIDTH}}{amount(row['cents']):>10}" for row in rows]
    lines.append("-" * (WIDTH + 10))
>>>>>>> mail-layout
    total = sum(row["cents"] for row in rows)
    lines.append(f"{'Total':<{WIDTH}}{amount(total):>10} {currency}")
    return "\n".join(lines) + "\n"
