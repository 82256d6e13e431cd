// Loaded by /docs if there is a sandbox client: authorises Swagger UI as the sandbox client, so that "Try it out" and "Execute"
// work without the dialog.

async function authorise() {
  const [id, secret] = ["sandbox", "sandbox"];
  const answer = await fetch("oauth2/token", {
    method: "POST",
    headers: { Authorization: `Basic ${btoa(`${id}:${secret}`)}` },
    body: new URLSearchParams({ grant_type: "client_credentials" }),
    credentials: "omit", // otherwise the browser would ask for a password after a 401
  });
  if (answer.ok) {
    const { access_token: token } = await answer.json();
    window.ui.preauthorizeBasic("basicAuth", id, secret);
    window.ui.preauthorizeApiKey("bearerAuth", token);
  }
}

// Runs after the `load` handler of swagger-initializer.js, which makes `ui`, and before the OpenAPI document is loaded.
addEventListener("load", () => {
  const settings = window.ui.getConfigs();
  settings.onComplete = authorise;
  settings.responseInterceptor = (answer) => {
    if (answer.status === 401) authorise(); // the token has expired: the next request has a new one
    return answer;
  };
});
