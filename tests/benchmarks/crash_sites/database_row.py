# run: {python} service.py
import sqlite3
import threading
import time


def open_store():
    store = sqlite3.connect(":memory:", check_same_thread=False)
    store.execute("create table users (id integer, name text)")
    store.execute("insert into users values (1, 'ada')")
    return store


def greeting(store, number):
    row = store.execute("select name from users where id = ?", (number,)).fetchone()
    return "hello " + row[0]  # crash


threading.Thread(target=greeting, args=(open_store(), 2)).start()
time.sleep(60)
