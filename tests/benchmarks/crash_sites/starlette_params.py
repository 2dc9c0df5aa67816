# run: {bin}/uvicorn --port {port} --log-level warning service:app
# get: /tiles/3/x
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


async def index(request):
    return JSONResponse("ok")


async def tile(request):
    zoom, column = request.path_params["zoom"], request.path_params["column"]
    return JSONResponse({"left": int(column) * 2 ** int(zoom)})  # crash


app = Starlette(routes=[Route("/", index), Route("/tiles/{zoom}/{column}", tile)])
