# run: {python} service.py
import threading
import time


def slug(title, words=3):
    title = title.strip().lower()
    words = title.split()[:words]
    return words[0] + "-" + words[1]  # crash


def publish(post):
    return {"url": "/" + slug(post["title"])}


threading.Thread(target=publish, args=({"title": " Hello "},)).start()
time.sleep(60)
