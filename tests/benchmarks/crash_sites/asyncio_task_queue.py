# run: {python} service.py
import asyncio
import dataclasses
import datetime


@dataclasses.dataclass
class Event:
    name: str
    at: datetime.datetime
    until: "datetime.datetime | None" = None

    @property
    def seconds(self):
        return (self.until - self.at).total_seconds()  # crash


class Recorder:
    def __init__(self):
        self.incoming = asyncio.Queue(100)
        self.done = asyncio.Event()
        self.totals = {}

    async def run(self):
        while True:
            await self.record(await self.incoming.get())

    async def record(self, event):
        self.totals[event.name] = self.totals.get(event.name, 0) + event.seconds


async def main():
    recorder = Recorder()
    task = asyncio.create_task(recorder.run())
    noon = datetime.datetime(2024, 5, 1, 12)
    await recorder.incoming.put(Event("tea", noon, noon + datetime.timedelta(minutes=9)))
    await recorder.incoming.put(Event("talk", noon))
    await asyncio.sleep(0.5)
    del task
    await recorder.done.wait()


asyncio.run(main())
