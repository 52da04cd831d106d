"""The origin's documents, its keys and the tokens: made once a run, the same each time."""
import base64
import json
import os
import re
import subprocess

from .contenders import DESCRIPTORS, PATH, calls, echo, signer
from .processes import REST_CORE, Process

#: How many tokens take turns where tokens are seen again, and how many are sent once where they are not.
SEEN, FRESH = 64, 40_000

#: The numbers that are asked for together, in two calls.
HALVES = (range(1, 51), range(51, 101))


def products():
    """846 bytes of a shop's list."""
    items = [
        {"id": number, "title": f"Lamp No. {number}", "price": {"amount": 1990, "currency": "EUR"}, "images": {"thumb": f"/i/{number}.svg"}}
        for number in range(1, 9)]
    return pad({"code": 0, "items": items}, 846)


def catalogue():
    """17.5 KB; a third of it is nothing that a television can use."""
    items = []
    for number in range(1, 28):
        items.append({
            "id": f"p-{number:04}", "title": f"Lamp No. {number} with a shade of linen", "price": {"amount": 1990 + number, "currency": "EUR"},
            "stock": {"berlin": number * 3 % 17, "hamburg": number * 7 % 23}, "tags": ["light", "home", "new" if number % 3 else "sale"],
            "text": "A lamp that stands where it is put, with a cord of two metres and a switch by hand; the shade is of linen, the foot of oak.",
            "images": {
                "thumb": f"/img/t/{number}.webp", "hd": f"/img/hd/{number}-3840x2160.avif?sig={number * 7919:032x}",
                "gallery_hd": [f"/img/hd/{number}-{view}.avif?v={view}" for view in range(3)]},
            "debug": {"shard": number % 4, "took_us": 100 + number, "node": f"catalog-{number % 3}"},
        })
    return pad({"code": 0, "items": items}, 17_500)


def basket():
    """A list of a hundred, which name what others know of them."""
    items = [{"product_id": f"p-{number:03}", "count": number % 4 + 1} for number in range(1, 101)]
    return json.dumps({"id": "b-1", "items": items}, separators=(",", ":"))


def goods(numbers):
    """What is known of these."""
    items = [
        {"id": f"p-{number:03}", "title": f"Lamp No. {number}", "price": {"amount": 1990 + number, "currency": "EUR"}, "thumb": f"/i/{number}.svg"}
        for number in numbers]
    return json.dumps({"items": items}, separators=(",", ":"))


def joined():
    """The basket with what is known of each in it."""
    known = {item["id"]: item for half in HALVES for item in json.loads(goods(half))["items"]}
    document = json.loads(basket())
    for item in document["items"]:
        item["product"] = known[item["product_id"]]
    return document


def account():
    """846 bytes of somebody who is known."""
    return pad({
        "id": "1", "name": "Ada Lovelace", "email": "ada@shop.example", "phone": "+44 20 7946 0000", "street": "12 St James's Square",
        "city": "London", "language": "en", "since": "2019-04-01T08:00:00Z", "groups": ["customers", "newsletter"]}, 846)


def cart():
    """846 bytes of what somebody wants to buy."""
    items = [{"sku": f"p-{number:03}", "count": number % 4 + 1, "title": f"Lamp No. {number}", "price": 1990} for number in range(1, 9)]
    return pad({"id": "1", "total": 15920, "items": items}, 846)


def posts():
    """15 KB: a hundred posts by ten people."""
    return json.dumps([
        {"id": number, "userId": (number - 1) // 10 + 1, "title": f"What to know about lamp No. {number}", "body": f"{number}: " + "It shines. " * 6}
        for number in range(1, 101)], separators=(",", ":"))


def people():
    """Those ten, by their numbers."""
    return {number: json.dumps({
        "id": number, "name": f"Writer No. {number}", "username": f"writer{number}", "email": f"writer{number}@shop.example",
        "phone": "+44 20 7946 0000", "website": "shop.example"}, separators=(",", ":")) for number in range(1, 11)}


def pad(document, size):
    text = json.dumps(document, separators=(",", ":"))
    rest = size - len(text) - len(',"note":""')
    assert rest >= 0, (len(text), size)
    return json.dumps({**document, "note": "." * rest}, separators=(",", ":"))


def trimmed(document):
    """The document as a television gets it."""
    document = json.loads(document)
    for item in document["items"]:
        item.pop("debug", None)
        item["images"] = {"thumb": item["images"]["thumb"]}
    return document


def keys(run):
    """An RSA key in the forms that the contenders read."""
    private, public = os.path.join(run, "rsa.key"), os.path.join(run, "rsa.pub")

    def openssl(*arguments):
        return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout

    openssl("genrsa", "-out", private, "2048")
    openssl("rsa", "-in", private, "-pubout", "-out", public)
    openssl("rsa", "-in", private, "-outform", "DER", "-traditional", "-out", os.path.join(run, "rsa.der"))
    openssl("rsa", "-in", private, "-RSAPublicKey_out", "-outform", "DER", "-out", os.path.join(run, "rsa.pub.der"))
    modulus = bytes.fromhex(re.search(rb"=([0-9A-F]+)", openssl("rsa", "-in", private, "-noout", "-modulus")).group(1).decode())

    def encode(octets):
        return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()

    with open(os.path.join(run, "jwks.json"), "w") as file:
        json.dump({"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "n": encode(modulus), "e": encode(b"\x01\x00\x01")}]}, file)


def certificate(run):
    """A certificate on P-256 for `shop.example` and the loopback address, and the authority that clients know it by."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)

    authority, authority_key, edge, edge_key = (os.path.join(run, name) for name in ("ca.pem", "ca.key", "edge.pem", "edge.key"))
    request, extensions = os.path.join(run, "edge.csr"), os.path.join(run, "edge.ext")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", authority_key, "-out", authority, "-days", "30", "-subj", "/CN=loadtest authority")
    openssl("req", *curve, "-keyout", edge_key, "-out", request, "-subj", "/CN=shop.example")
    with open(extensions, "w") as file:
        file.write("subjectAltName=DNS:shop.example,IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n")
    openssl("x509", "-req", "-in", request, "-CA", authority, "-CAkey", authority_key, "-CAcreateserial", "-days", "30", "-extfile", extensions, "-out", edge)
    # HAProxy reads both from one file.
    with open(os.path.join(run, "edge.both"), "w") as both:
        for part in (edge, edge_key):
            with open(part) as file:
                both.write(file.read())


def tokens(run, name, count, role="viewer"):
    path = os.path.join(run, name)
    if not os.path.exists(path):
        with open(path + ".part", "w") as file:
            subprocess.run([signer(), os.path.join(run, "rsa.der"), str(count), role], check=True, stdout=file)
        os.rename(path + ".part", path)
    return path


def first_line(path):
    with open(path) as file:
        return file.readline().strip()


def verify_microseconds(run):
    """What one RS256 check takes, alone."""
    done = subprocess.run([signer(), os.path.join(run, "rsa.der"), "time", "viewer"], check=True, capture_output=True, text=True)
    return float(done.stdout)


def start(run, port, template, h2_port=None):
    """The origin of documents; where it has a second port, it speaks HTTP/2 in clear text there."""
    os.makedirs(os.path.join(run, "www", "people"), exist_ok=True)
    documents = {"products.json": products(), "catalogue.json": catalogue(), "basket.json": basket()}
    documents |= {f"goods-{half[0]:03}.json": goods(half) for half in HALVES}
    documents |= {"account.json": account(), "cart.json": cart(), "posts.json": posts()}
    documents |= {f"people/{number}": person for number, person in people().items()}
    for name, text in documents.items():
        with open(os.path.join(run, "www", name), "w") as file:
            file.write(text)
    os.chmod(run, 0o755)
    config = os.path.join(run, "origin.conf")
    h2 = f"listen 127.0.0.1:{h2_port} http2 backlog=16384;" if h2_port else ""
    with open(template) as source, open(config, "w") as target:
        target.write(source.read().replace("@PORT@", str(port)).replace("@H2@", h2).replace("@RUN@", run).replace("@DESCRIPTORS@", str(DESCRIPTORS - 100)))
    return Process(["env", f"PATH={PATH}", "nginx", "-c", config], port, core=REST_CORE, log=os.path.join(run, "origin.log"))


def start_echo(run, port):
    """The origin of WebSockets, beside the other one."""
    return Process([echo(), f"127.0.0.1:{port}"], port, core=REST_CORE, log=os.path.join(run, "echo.log"))


def start_calls(run, port):
    """The origin of gRPC, likewise."""
    return Process([calls(), f"127.0.0.1:{port}"], port, core=REST_CORE, log=os.path.join(run, "calls.log"))


def message(run):
    """A file with one message of gRPC: 64 bytes in their frame."""
    path = os.path.join(run, "message.grpc")
    with open(path, "wb") as file:
        file.write(b"\0" + (64).to_bytes(4, "big") + b"m" * 64)
    return path
