//! `GET /openapi.yaml` and `GET /docs`: the OpenAPI document, and Swagger UI for it.
//!
//! Swagger UI is embedded in the binary. Its content security policy allows no requests to other hosts. Only the files
//! that the page uses are served. With a sandbox client the page also loads `sandbox.js`, which authorises it as
//! that client; without one, as in production, that file does not exist.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use utoipa_swagger_ui::{Config, serve};

use super::page::answer;

const DOCUMENT: &str = include_str!("../../openapi.yaml");
const PAGE: &str = include_str!("docs/page.html");
const SANDBOX_SCRIPT: &str = include_str!("docs/sandbox.js");

/// The files that `docs/page.html` uses.
const FILES: [&str; 6] = [
    "favicon-32x32.png",
    "index.css",
    "swagger-initializer.js",
    "swagger-ui-bundle.js",
    "swagger-ui-standalone-preset.js",
    "swagger-ui.css",
];

/// The routes of the document, the page and the page's files. `sandbox_client` is whether there is one.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(sandbox_client: bool) -> Router<S> {
    let mut routes = Router::new().route("/openapi.yaml", get(|| async { answer("application/yaml", DOCUMENT) }));
    let mut page = PAGE.to_owned();
    if sandbox_client {
        let script = r#"<script src="docs/sandbox.js" type="module"></script>"#;
        page = page.replace("  </head>", &format!("    {script}\n  </head>"));
        routes = routes.route("/docs/sandbox.js", get(|| async { answer("text/javascript", SANDBOX_SCRIPT) }));
    }
    routes = routes.route("/docs", get(async move || answer("text/html; charset=utf-8", page)));
    let config = Arc::new(config());
    FILES.into_iter().fold(routes, |routes, name| {
        let file = serve(name, Arc::clone(&config))
            .expect("the page's configuration is valid JSON")
            .expect("Swagger UI contains the files that its page uses");
        let handler = async move || answer(&file.content_type, file.bytes);
        routes.route(&format!("/docs/{name}"), get(handler))
    })
}

fn config() -> Config<'static> {
    Config::new(["openapi.yaml"]) // relative to the page, so that it works behind a gateway with a path prefix
        .use_base_layout() // without the top bar, which loads other documents
        .validator_url("none") // without the badge of an online validator
        .doc_expansion("list")
        .default_models_expand_depth(0)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
    use axum::http::{HeaderValue, Request, StatusCode};
    use axum::response::Response;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn the_document_is_the_one_in_the_repository() {
        let answer = fetch("/openapi.yaml").await;
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/yaml");
        assert_eq!(text(answer).await, DOCUMENT);
    }

    #[tokio::test]
    async fn the_sandbox_script_exists_in_the_sandbox_only() {
        let page = text(fetch("/docs").await).await;
        assert_eq!(page, PAGE);
        assert_eq!(fetch("/docs/sandbox.js").await.status(), StatusCode::NOT_FOUND);

        let page = text(fetch_from(routes(true), "/docs").await).await;
        assert!(page.contains("    <script src=\"docs/sandbox.js\" type=\"module\"></script>\n  </head>"), "{page}");
        let script = fetch_from(routes(true), "/docs/sandbox.js").await;
        assert_eq!(
            (script.status(), &script.headers()[CONTENT_TYPE]),
            (StatusCode::OK, &HeaderValue::from_static("text/javascript"))
        );
    }

    #[tokio::test]
    async fn every_file_that_the_page_uses_is_served() {
        let page = text(fetch("/docs").await).await;
        let mut used: Vec<&str> = page.split('"').filter_map(|part| part.strip_prefix("docs/")).collect();
        used.sort_unstable();
        assert_eq!(used, FILES);

        for file in FILES {
            assert!(DOCUMENT.contains(&format!("- {file}\n")), "openapi.yaml does not name {file}");
            let answer = fetch(&format!("/docs/{file}")).await;
            let content_type = answer.headers()[CONTENT_TYPE].clone();
            let expected = match file.rsplit_once('.') {
                Some((_, "css")) => "text/css",
                Some((_, "js")) => "text/javascript",
                _ => "image/png",
            };
            assert_eq!((answer.status(), content_type.to_str().ok()), (StatusCode::OK, Some(expected)), "{file}");
        }
    }

    #[tokio::test]
    async fn the_page_names_no_other_host() {
        for path in ["/docs", "/docs/swagger-initializer.js"] {
            let text = text(fetch(path).await).await;
            for elsewhere in ["http:", "https:", "\"//"] {
                assert!(!text.contains(elsewhere), "{text}");
            }
        }
        let initializer = text(fetch("/docs/swagger-initializer.js").await).await;
        assert!(initializer.contains(r#""url": "openapi.yaml""#), "{initializer}");
        assert!(initializer.contains(r#""validatorUrl": "none""#), "{initializer}");
    }

    #[tokio::test]
    async fn the_content_security_policy_allows_no_other_host() {
        for path in ["/docs", "/docs/swagger-ui-bundle.js", "/openapi.yaml"] {
            let answer = fetch(path).await;
            let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().expect("ASCII").to_owned();
            assert!(policy.starts_with("default-src 'none';"), "{policy}");
            for refused in ["http", "*", "unsafe-inline", "unsafe-eval"] {
                assert!(!policy.contains(refused), "{policy}");
            }
        }
    }

    #[tokio::test]
    async fn other_files_of_swagger_ui_are_not_served() {
        for path in ["/docs/", "/docs/index.html", "/docs/oauth2-redirect.html", "/docs/../Cargo.toml"] {
            assert_eq!(fetch(path).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    /// The answer in production.
    async fn fetch(path: &str) -> Response {
        fetch_from(routes(false), path).await
    }

    async fn fetch_from(routes: Router, path: &str) -> Response {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        routes.oneshot(request).await.expect("a router always answers")
    }

    async fn text(answer: Response) -> String {
        let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
        String::from_utf8(bytes.to_vec()).expect("UTF-8")
    }
}
