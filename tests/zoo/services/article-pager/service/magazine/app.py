from flask import Flask, jsonify

from magazine.sections import SECTIONS, UnknownArticle

app = Flask("magazine")


@app.errorhandler(UnknownArticle)
def unknown(error):
    return jsonify(error="no such article"), 404


@app.get("/<section>/")
def front(section):
    if section not in SECTIONS:
        raise UnknownArticle(section)
    return jsonify(newest=SECTIONS[section].newest())


@app.get("/<section>/<slug>")
def article(section, slug):
    if section not in SECTIONS:
        raise UnknownArticle(slug)
    previous, following = SECTIONS[section].neighbours(slug)
    return jsonify(slug=slug, previous=previous, next=following)
