from selfheal_tui.demo.driver import Moment, Request, play


def plan(moment: Moment) -> Request:
    rng = moment.rng
    if moment.bug_on and rng.random() < 0.15:
        return Request("GET", "/tickets?state=new", bad=True)
    if rng.random() < 0.2:
        return Request("GET", f"/tickets/{rng.choice([101, 102, 103, 104, 999])}")
    return Request("GET", f"/tickets?state={rng.choice(['open', 'closed', 'waiting'])}")


play(plan)
