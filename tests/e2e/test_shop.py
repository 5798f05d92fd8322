"""The five services that users run, on a machine, and a customer with a real browser."""

import http.client
import json
import secrets
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from demo.load import FAILED, Load
from fairlead.config import layout
from fairlead.images import ImageReference
from fairlead.lab import demo
from fairlead.lab.site import Lab
from tests.e2e.operator import Operator
from tests.fixtures.git import git, identify
from tests.fixtures.lab import PREFIX, remove_abandoned, session_process

pytestmark = pytest.mark.lab

QUICKER = (("settle: 20s", "settle: 0s"), ("delay: 15s", "delay: 1s"), ("stable_for: 15s", "stable_for: 1s"))
LOCAL = "docker-compose.yml"
PASSWORD = secrets.token_urlsafe(12)
REALM = "/auth/realms/customers"
PATIENCE = 60_000.0  # milliseconds for anything in the browser


class ShopOperator(Operator):
    """An operator whose application is the whole shop."""

    def begin(self) -> None:
        """One machine, the five images, a deployment repository, the first release."""
        self.site = self.lab.up(("staging",), bases=demo.bases(demo.sources(demo.SHOP)))
        for place in (self.home, self.temporary):
            place.mkdir(parents=True)
        for component, version in demo.STACKS[demo.SHOP].items():
            self.push_component(component, version)
        said = self.fairlead("init", "--lab", self.lab.name, "--stack", demo.SHOP, str(self.checkout), at=self.root)
        assert said.code == 0, said.text
        identify(self.checkout, "Ana")
        self.edit({layout.CONFIGURATION: QUICKER})
        git(self.checkout, "add", "--all")
        git(self.checkout, "commit", "--quiet", "-m", "Begin")
        git(self.checkout, "push", "--quiet", "-u", "origin", "main", "fairlead-scaffold")

    def push_component(self, component: str, version: str) -> ImageReference:
        """Build and push one image."""
        return demo.push(self.lab, demo.Build(component, version), demo.sources(demo.SHOP))

    @property
    def url(self) -> str:
        return f"http://{self.machine().address}/"

    def status(self, path: str, token: str) -> int:
        """What the application answers to this token."""
        connection = http.client.HTTPConnection(self.machine().address, timeout=30)
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopOperator]:
    """A site with the shop's images and repository; nothing is deployed yet."""
    root = tmp_path_factory.mktemp("shop")
    remove_abandoned()
    made = ShopOperator(Lab(f"{PREFIX}{session_process()}-shop", root / "state"), root)
    try:
        made.begin()
        yield made
    finally:
        made.lab.down()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield chromium
        chromium.close()


def visit(browser: Browser, shop: ShopOperator) -> Page:
    """The shop's page in a window of its own, without anybody's cookies."""
    page = browser.new_context().new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(shop.url)
    page.locator("#products li").nth(2).wait_for()
    return page


def submit(page: Page, fields: dict[str, str]) -> None:
    """Fill in Keycloak's form, and come back logged in."""
    for name, value in fields.items():
        page.fill(f"#{name}", value)
    page.click("[type=submit]")
    page.locator("#log-out").wait_for()


def register(page: Page, name: str) -> None:
    page.click("#log-in")
    page.click("text=Register")
    own = {"username": name, "email": f"{name}@example.com", "firstName": "Ada", "lastName": "Sailor"}
    submit(page, {**own, "password": PASSWORD, "password-confirm": PASSWORD})


def log_in(page: Page, name: str) -> None:
    page.click("#log-in")
    submit(page, {"username": name, "password": PASSWORD})


def order(page: Page, product: str) -> None:
    page.locator("#products li", has_text=product).get_by_role("button").click()
    page.locator("#orders li", has_text=product).wait_for()


def ordered(page: Page) -> list[str]:
    page.locator("#orders li").first.wait_for()
    return page.locator("#orders li span:first-child").all_inner_texts()


def versions(page: Page) -> tuple[str | None, str | None]:
    return page.text_content("#frontend-version"), page.text_content("#backend-version")


def refuses_what_keycloak_did_not_sign_for_it(shop: ShopOperator, page: Page) -> None:
    """A token for another audience, one that was changed, and none."""
    session = json.loads(page.evaluate("sessionStorage.getItem('session')"))
    access, identity = session["access_token"], session["id_token"]
    head, body, signature = access.split(".")
    forged = f"{head}.{body}.{signature[::-1]}"
    asked = {token: shop.status("/api/orders", token) for token in (access, identity, forged, "")}
    assert list(asked.values()) == [200, 401, 401, 401]


def test_customers_log_in_before_and_after_a_deploy_of_the_backend_alone(shop: ShopOperator, browser: Browser) -> None:
    first = shop.run()
    assert (first.code, first.document["outcome"]) == (0, "proven"), first.text
    page = visit(browser, shop)
    register(page, "ada")
    assert (page.text_content("#customer"), versions(page)) == ("Ada Sailor", ("1.0.0", "1.0.0"))
    order(page, "Brass fairlead")
    refuses_what_keycloak_did_not_sign_for_it(shop, page)
    page.click("#log-out")
    page.locator("#log-in").wait_for()

    others = {service: shop.containers(service) for service in ("frontend", "keycloak", "db", "gateway")}
    backend = shop.containers("backend")
    shop.push_component("backend", "1.1.0")
    with Load(shop.machine().address, lambda _line: None) as load:
        second = shop.run()
    assert (second.code, second.document["outcome"]) == (0, "proven"), second.text
    assert (load.answers[FAILED], set(load.answers)) == (0, {"1.0.0", "1.1.0"})
    assert {service: shop.containers(service) for service in others} == others
    assert shop.containers("backend") != backend

    page = visit(browser, shop)
    log_in(page, "ada")
    order(page, "Cleat")
    assert (ordered(page), versions(page)) == (["Cleat", "Brass fairlead"], ("1.0.0", "1.1.0"))


def test_the_same_services_come_up_on_a_developers_engine_without_ansible(shop: ShopOperator) -> None:
    """The machine's engine stands in for the developer's: a Compose file on standard input, and nothing else."""
    content = (shop.checkout / LOCAL).read_text()
    compose = ("docker", "compose", "--file", "-")
    try:
        shop.on_machine(*compose, "up", "--detach", "--quiet-pull", "--wait", stdin=content)
        asked = {path: json.loads(local(shop, path)) for path in ("/version.json", "/api/version", REALM)}
        assert [asked[path]["version"] for path in ("/version.json", "/api/version")] == ["1.0.0", "1.0.0"]
        assert asked[REALM]["token-service"].startswith("http://localhost:8080/auth/")
    finally:
        shop.on_machine(*compose, "down", "--volumes", "--timeout", "1", stdin=content)


def local(shop: ShopOperator, path: str) -> str:
    """What a developer gets at localhost, which is the machine's own."""
    fetch = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=30).read().decode())"
    return shop.on_machine("python3", "-c", fetch, f"http://localhost:8080{path}")
