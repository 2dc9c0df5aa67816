from selfheal_tui.demo.driver import Moment, Request, play

ITEM = "<item><title>Story {n}</title><link>http://example.org/{n}</link>{date}</item>"


def plan(moment: Moment) -> Request:
    rng = moment.rng
    bad = moment.bug_on and rng.random() < 0.15
    items = []
    for place in range(rng.randint(2, 5)):
        date = "" if bad and place == 1 else "<pubDate>Mon, 02 Mar 2026 10:00:00 GMT</pubDate>"
        items.append(ITEM.format(n=rng.randint(1, 999), date=date))
    body = f"<rss><channel><title>News</title>{''.join(items)}</channel></rss>"
    return Request("POST", "/feeds", body.encode(), bad=bad)


play(plan)
