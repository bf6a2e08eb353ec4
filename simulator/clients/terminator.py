"""Ends TLS before a simulator, for clients that speak nothing else, and answers as an event hook.

terminator.py FOLDER NAME=PORT...   writes FOLDER/ca.pem and prints NAME=https://localhost:PORT for each, and HOOK=http://…
"""

import asyncio
import datetime
import ipaddress
import pathlib
import ssl
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def certificate(folder):
    """A certificate for localhost that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context


async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass


def forward_to(port):
    async def forward(reader, writer):
        """One request a connection: its head gets two headers more, the rest is copied."""
        upstream = None
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.rstrip(b"\r\n").split(b"\r\n")
            kept = [line for line in lines if not line.lower().startswith((b"connection:", b"x-forwarded-"))]
            host = next((line.split(b":", 1)[1].strip() for line in kept if line.lower().startswith(b"host:")), b"localhost")
            kept += [b"x-forwarded-proto: https", b"x-forwarded-host: " + host, b"connection: close"]
            answers, upstream = await asyncio.open_connection("127.0.0.1", port)
            upstream.write(b"\r\n".join([first, *kept]) + b"\r\n\r\n")
            sending = asyncio.create_task(copy(reader, upstream))
            await copy(answers, writer)
            sending.cancel()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            if upstream:
                upstream.close()

    return forward


async def hook(reader, writer):
    """Echoes the challenge of Okta's verification, and takes every delivery."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        headers = dict(line.lower().split(": ", 1) if ": " in line else (line, "") for line in head.split("\r\n")[1:])
        challenge = next((line.split(": ", 1)[1] for line in head.split("\r\n") if line.lower().startswith("x-okta-verification-challenge: ")), None)
        await reader.readexactly(int(headers.get("content-length", 0)))
        body = f'{{"verification":"{challenge}"}}'.encode() if challenge else b""
        kind = b"200 OK\r\ncontent-type: application/json" if challenge else b"204 No Content"
        writer.write(b"HTTP/1.1 " + kind + b"\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main():
    folder = pathlib.Path(sys.argv[1])
    context = certificate(folder)
    servers = []
    for argument in sys.argv[2:]:
        name, port = argument.split("=")
        server = await asyncio.start_server(forward_to(int(port)), "127.0.0.1", 0, ssl=context)
        servers.append(server)
        print(f"{name}=https://localhost:{server.sockets[0].getsockname()[1]}")
    server = await asyncio.start_server(hook, "127.0.0.1", 0)
    servers.append(server)
    print(f"HOOK=http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


asyncio.run(main())
