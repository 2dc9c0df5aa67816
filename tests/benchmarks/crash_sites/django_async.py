# run: {bin}/uvicorn --port {port} --log-level warning service:application
# get: /weather/graz
import asyncio

import django
from django.conf import settings

settings.configure(SECRET_KEY="x", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], DEBUG=False)
django.setup()
from django.core.asgi import get_asgi_application  # noqa: E402
from django.http import HttpResponse, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402

STATIONS = {"wien": {"lat": 48.2}, "graz": {}}


async def index(request):
    return HttpResponse("ok")


async def weather(request, town):
    await asyncio.sleep(0)
    return JsonResponse({"lat": STATIONS[town]["lat"]})  # crash


urlpatterns = [path("", index), path("weather/<str:town>", weather)]
application = get_asgi_application()
