// What pages ask of the server that they come from. Who asks is in a cookie that scripts cannot read; what changes
// something shows the session's number besides.

const SIGN_IN = "/console/sign-in";
const SIGN_OUT = "/console/sign-out";
const TRIES = 8;
const RETRY_MS = 1_000;

// The server knows nobody (any more) by this browser's cookie.
export class SignedOut extends Error {}

// The server's answer is a problem; the message may be shown.
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `the server answers with ${status}`);
    this.status = status;
    this.code = problem.code;
  }
}

export class Server {
  constructor() {
    this.session = null;
  }

  async begin() {
    this.session = await this.get("/console/session");
    return this.session;
  }

  may(scope) {
    return this.session.scopes.includes(scope);
  }

  async get(path, parameters = []) {
    const query = new URLSearchParams(parameters).toString();
    for (let tried = 1; ; tried += 1) {
      const response = await fetch(query ? `${path}?${query}` : path);
      if (response.status !== 503 || tried >= TRIES) return this.answer(response);
      await new Promise((resolve) => { setTimeout(resolve, RETRY_MS); });
    }
  }

  // The document, and a mark that changes with it; one that was made some seconds ago, if that will do.
  async document(mayBeOld) {
    const response = await fetch(mayBeOld ? "/console/document?may_be_old=true" : "/console/document");
    return { mark: response.headers.get("etag"), raw: await this.answer(response) };
  }

  post(path, body = {}) {
    return this.change("POST", path, body);
  }

  async change(method, path, body) {
    const headers = { "Content-Type": "application/json", "X-CSRF-Token": this.session?.csrf_token ?? "" };
    return this.answer(await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) }));
  }

  async answer(response) {
    if (response.ok) return response.json();
    const problem = await response.json().catch(() => ({}));
    if (response.status === 401 && !response.url.endsWith(SIGN_IN)) throw new SignedOut(problem.detail);
    throw new Refused(response.status, problem);
  }

  signIn(token) {
    return this.post(SIGN_IN, { token });
  }

  signOut() {
    return this.post(SIGN_OUT);
  }
}
