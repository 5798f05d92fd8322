"""The shop's backend: products and orders in PostgreSQL, over HTTP; orders belong to whoever is logged in at Keycloak.

GET /up            200 when the database answers, else 503
GET /api/version   {"version": ..., "revision": ...}
GET /api/products  every product
GET /api/orders    the caller's orders, newest first: needs a token
POST /api/orders   {"product": 1} -> 201 and the order: needs a token

A token is an access token of the realm: its signature (by the realm's published keys), its issuer, its audience and its
time are checked; nothing is asked of Keycloak but the keys, once. Variables: PG* (libpq's), OIDC_ISSUER, OIDC_KEYS
(the address of the keys, inside), OIDC_AUDIENCE.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, LiteralString

import jwt
import psycopg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

VARIANT = os.environ.get("APP_VARIANT", "")  # "", broken, wrong-version or crash-later
OLD_VERSION = "1.0.0"
VERSION = OLD_VERSION if VARIANT == "wrong-version" else os.environ.get("APP_VERSION", "0.0.0")
REVISION = os.environ.get("APP_REVISION", "")
ISSUER, AUDIENCE = os.environ.get("OIDC_ISSUER", ""), os.environ.get("OIDC_AUDIENCE", "backend")
CLOCK_SKEW = 10  # seconds by which Keycloak's clock may be ahead
DIES_AFTER = 10.0  # seconds, in the variant crash-later
# Two backends live side by side during a start-first rollout, and both may be the first: one waits for the other.
SCHEMA: LiteralString = """
SELECT pg_advisory_xact_lock(1);
CREATE TABLE IF NOT EXISTS products (id serial PRIMARY KEY, name text UNIQUE NOT NULL, cents int NOT NULL);
CREATE TABLE IF NOT EXISTS orders (
    id serial PRIMARY KEY, customer text NOT NULL, product int NOT NULL REFERENCES products,
    at timestamptz DEFAULT now()
);
INSERT INTO products (name, cents) VALUES ('Bowline rope', 1900), ('Brass fairlead', 4200), ('Cleat', 1250)
ON CONFLICT DO NOTHING;
"""
pool = AsyncConnectionPool(
    "", min_size=1, max_size=8, timeout=5, open=False, kwargs={"row_factory": dict_row},
    check=AsyncConnectionPool.check_connection,  # after a restart of the database nobody gets a dead connection
)  # fmt: skip
keys = jwt.PyJWKClient(os.environ.get("OIDC_KEYS", ""), timeout=5)


async def query(sql: LiteralString, *values: object) -> list[dict[str, Any]]:
    """The rows that the statement returns."""
    async with pool.connection() as connection:
        return list(await (await connection.execute(sql, values)).fetchall())


def customer_of(token: str) -> str:
    """Whose token it is. Raises jwt.PyJWTError unless this realm gave it, for this backend, and it is still good."""
    claims: dict[str, Any] = jwt.decode(
        token,
        keys.get_signing_key_from_jwt(token).key,
        algorithms=["RS256"],
        audience=AUDIENCE,
        issuer=ISSUER,
        leeway=CLOCK_SKEW,
        options={"require": ["exp", "iat", "iss", "aud", "sub"]},
    )
    return str(claims["sub"])


async def customer(request: Request) -> str:
    """Who calls. Raises HTTPException 401, or 503 where Keycloak's keys cannot be fetched."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise HTTPException(401, "log in first", {"WWW-Authenticate": "Bearer"})
    try:
        return await asyncio.to_thread(customer_of, token)
    except jwt.PyJWKClientConnectionError as error:
        raise HTTPException(503, "the login service does not answer") from error
    except jwt.PyJWTError as error:
        raise HTTPException(401, f"{error}", {"WWW-Authenticate": 'Bearer error="invalid_token"'}) from error


async def up(_request: Request) -> JSONResponse:
    if VARIANT == "broken":
        return JSONResponse({"error": "this variant never becomes healthy"}, 503)
    try:
        await query("SELECT 1")
    except (psycopg.Error, PoolTimeout) as error:
        return JSONResponse({"error": str(error).strip()}, 503)
    return JSONResponse({"up": True})


async def version(_request: Request) -> JSONResponse:
    return JSONResponse({"version": VERSION, "revision": REVISION})


async def products(_request: Request) -> JSONResponse:
    return JSONResponse(await query("SELECT id, name, cents FROM products ORDER BY id"))


async def orders(request: Request) -> JSONResponse:
    who = await customer(request)
    return JSONResponse(await query(f"{ORDERS} WHERE customer = %s ORDER BY orders.id DESC LIMIT 100", who))


async def order(request: Request) -> JSONResponse:
    who, product = await customer(request), await product_in(request)
    placed = "INSERT INTO orders (customer, product) SELECT %s, id FROM products WHERE id = %s RETURNING id"
    rows = await query(placed, who, product)
    if not rows:
        raise HTTPException(404, "no such product")
    return JSONResponse((await query(f"{ORDERS} WHERE orders.id = %s", rows[0]["id"]))[0], 201)


ORDERS: LiteralString = "SELECT orders.id, products.name AS product FROM orders JOIN products ON products.id = product"


async def product_in(request: Request) -> int:
    try:
        return int((await request.json())["product"])
    except (ValueError, KeyError, TypeError) as error:
        raise HTTPException(400, 'send {"product": 1}') from error


async def refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


@asynccontextmanager
async def life(_app: Starlette) -> AsyncIterator[None]:
    """The tables are there before the first request is taken."""
    if VARIANT == "crash-later":
        asyncio.get_running_loop().call_later(DIES_AFTER, os._exit, 1)
    async with pool:
        async with pool.connection() as connection:
            await connection.execute(SCHEMA)
        yield


app = Starlette(
    routes=[
        Route("/up", up),
        Route("/api/version", version),
        Route("/api/products", products),
        Route("/api/orders", orders, methods=["GET"]),
        Route("/api/orders", order, methods=["POST"]),
    ],
    exception_handlers={HTTPException: refused},
    lifespan=life,
)
