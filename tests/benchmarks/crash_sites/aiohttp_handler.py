# run: {python} service.py {port}
# get: /convert?from=EUR&to=XXX&amount=5
# needs: aiohttp
import sys

from aiohttp import web

RATES = {"EUR": 1.0, "USD": 1.09}


async def index(request):
    return web.Response(text="ok")


async def convert(request):
    query = request.rel_url.query
    amount = float(query["amount"])
    return web.json_response({"amount": exchange(amount, query["from"], query["to"])})


def exchange(amount, source, target):
    return amount / RATES[source] * RATES[target]  # crash


app = web.Application()
app.add_routes([web.get("/", index), web.get("/convert", convert)])
if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
