// Logging in at Keycloak: OpenID Connect's authorization code flow with PKCE (RFC 7636), for a page without a secret.
// Tokens live in this tab's session storage and are gone with it.
import { sha256 } from "./sha256.js";

const REALM = `${location.origin}/auth/realms/customers/protocol/openid-connect`;
const CLIENT = "frontend";
const HERE = `${location.origin}/`;

export function session() {
  const kept = JSON.parse(sessionStorage.getItem("session") ?? "null");
  return kept && kept.until > Date.now() ? kept : null;
}

export async function logIn() {
  const verifier = random(), state = random();
  sessionStorage.setItem("login", JSON.stringify({ verifier, state }));
  const challenge = text64(await sha256(verifier));
  location.assign(`${REALM}/auth?${new URLSearchParams({
    client_id: CLIENT, redirect_uri: HERE, response_type: "code", scope: "openid profile", state,
    code_challenge: challenge, code_challenge_method: "S256",
  })}`);
}

export function logOut() {
  const hint = session()?.id_token;
  sessionStorage.clear();
  location.assign(`${REALM}/logout?${new URLSearchParams({
    client_id: CLIENT, post_logout_redirect_uri: HERE, ...(hint && { id_token_hint: hint }),
  })}`);
}

// Called on every load: takes the code that Keycloak has sent us back with, if there is one.
export async function returned() {
  const answer = new URLSearchParams(location.search);
  if (!answer.has("state")) return;
  history.replaceState(null, "", location.pathname);
  const begun = JSON.parse(sessionStorage.getItem("login") ?? "null");
  sessionStorage.removeItem("login");
  if (answer.get("state") !== begun?.state) throw new Error("This login was not begun here. Log in again.");
  if (!answer.has("code")) throw new Error(answer.get("error_description") ?? answer.get("error"));
  keep(await tokens({
    grant_type: "authorization_code", client_id: CLIENT, redirect_uri: HERE,
    code: answer.get("code"), code_verifier: begun.verifier,
  }));
}

async function tokens(request) {
  const answer = await fetch(`${REALM}/token`, { method: "POST", body: new URLSearchParams(request) });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error_description ?? body.error);
  return body;
}

function keep({ access_token, id_token, expires_in }) {
  const claims = JSON.parse(new TextDecoder().decode(bytes64(id_token.split(".")[1])));
  const name = claims.name ?? claims.preferred_username;
  sessionStorage.setItem("session", JSON.stringify({ access_token, id_token, name, until: Date.now() + 1000 * expires_in }));
}

const random = () => text64(crypto.getRandomValues(new Uint8Array(32)));
const text64 = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const bytes64 = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
