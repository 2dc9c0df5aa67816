# run: {python} service.py
# needs: rq
import time


def invoice(customer, lines):
    total = sum(line["net"] * (1 + line["vat"]) for line in lines)
    return {"to": customer["email"].lower(), "total": total}  # crash


if __name__ == "__main__":
    import fakeredis
    import service
    from rq import Queue, SimpleWorker

    connection = fakeredis.FakeStrictRedis()
    jobs = Queue(connection=connection)
    jobs.enqueue(service.invoice, {"email": None}, [{"net": 10, "vat": 0.2}])
    SimpleWorker([jobs], connection=connection).work(burst=True)
    time.sleep(60)
