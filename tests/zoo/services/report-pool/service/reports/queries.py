"""What can be asked."""

from reports.pool import pool

ORDERS = {"month": "month ASC", "total": "total DESC"}


class BadFilter(ValueError):
    """The client asked for what we do not offer."""


def regions_report(least):
    with pool.lease() as connection:
        rows = connection.execute(
            "SELECT region, COUNT(*) FROM sales WHERE total >= ? GROUP BY region", (least,)
        )
        return dict(rows.fetchall())


def monthly_report(region, order):
    connection = pool.borrow()
    known = connection.execute("SELECT 1 FROM sales WHERE region = ? LIMIT 1", (region,)).fetchone()
    if known is None:
        pool.give_back(connection)
        raise BadFilter(f"no region {region!r}")
    if order not in ORDERS:
        raise BadFilter(f"cannot order by {order!r}")
    rows = connection.execute(
        f"SELECT month, total FROM sales WHERE region = ? ORDER BY {ORDERS[order]}", (region,)
    ).fetchall()
    pool.give_back(connection)
    return [{"month": month, "total": total} for month, total in rows]
