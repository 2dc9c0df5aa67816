"""Customers come at a fifth of the rate, but for the campaigns."""

import sys

from selfheal_tui.demo.driver import Moment, Request, options, play, send_http
from selfheal_tui.demo.traffic import carrier, plan_of

chosen = options(sys.argv[1:])
carrier(chosen).start()
usual = plan_of("healthy")
NOBODY = Request("", "")


def plan(moment: Moment) -> Request:
    campaign = moment.elapsed_s % 30 > 22
    return usual(moment) if campaign or moment.number % 5 == 0 else NOBODY


def send(chosen, request):
    return 200 if request is NOBODY else send_http(chosen, request)


play(plan, chosen, send)
