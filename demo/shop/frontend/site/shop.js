// The page: products for everybody, orders for whoever is logged in, and which versions serve.
import { logIn, logOut, returned, session } from "./login.js";

const part = (id) => document.getElementById(id);
const price = new Intl.NumberFormat("en", { style: "currency", currency: "EUR" });

async function ask(path, options = {}) {
  const token = session()?.access_token;
  const headers = { ...(token && { Authorization: `Bearer ${token}` }), ...options.headers };
  const answer = await fetch(path, { ...options, headers });
  const body = await answer.json().catch(() => ({ error: `${path} answers ${answer.status}` }));
  if (!answer.ok) throw new Error(body.error);
  return body;
}

function tell(error) {
  part("problem").textContent = error.message;
  part("problem").hidden = false;
}

function element(name, text, className = "") {
  return Object.assign(document.createElement(name), { textContent: text, className });
}

function product({ id, name, cents }) {
  const item = document.createElement("li");
  item.append(element("span", name, "name"), element("span", price.format(cents / 100), "price"));
  if (session()) {
    const order = element("button", "Order");
    order.addEventListener("click", () => place(id).catch(tell));
    item.append(order);
  }
  return item;
}

function ordered({ id, product: name }) {
  const item = document.createElement("li");
  item.append(element("span", name), element("span", `No. ${id}`, "faint"));
  return item;
}

async function place(id) {
  await ask("api/orders", { method: "POST", body: JSON.stringify({ product: id }) });
  await showOrders();
}

async function showOrders() {
  part("orders").replaceChildren(...(await ask("api/orders")).map(ordered));
  part("own").hidden = false;
}

async function showVersions() {
  for (const [id, path] of [["frontend-version", "version.json"], ["backend-version", "api/version"]]) {
    part(id).textContent = (await ask(path)).version;
  }
}

async function show() {
  await returned();
  part("log-in").hidden = Boolean(session());
  part("log-out").hidden = !session();
  part("customer").textContent = session()?.name ?? "";
  part("products").replaceChildren(...(await ask("api/products")).map(product));
  if (session()) await showOrders();
}

part("log-in").addEventListener("click", () => logIn().catch(tell));
part("log-out").addEventListener("click", logOut);
showVersions().catch(tell);
show().catch(tell);
