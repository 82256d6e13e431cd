//! `GET /sandbox/phone`: phones in the browser, and the backend that calls the API for them.
//!
//! Plain HTML, CSS and ES modules, embedded in the binary. They load nothing from other hosts and call the API like any
//! client; the service gives them nothing that other clients do not get. Only the files listed here are served.

use axum::Router;
use axum::routing::get;

use crate::api::page::answer;

const PAGE: &str = include_str!("phone/page.html");

const STYLE: &str = "text/css; charset=utf-8";
const MODULE: &str = "text/javascript; charset=utf-8";

/// The files of the page: name, content type, content.
const FILES: [(&str, &str, &str); 27] = [
    ("approvals.js", MODULE, include_str!("phone/approvals.js")),
    ("backend.js", MODULE, include_str!("phone/backend.js")),
    ("base.css", STYLE, include_str!("phone/base.css")),
    ("clock.js", MODULE, include_str!("phone/clock.js")),
    ("curl.js", MODULE, include_str!("phone/curl.js")),
    ("der.js", MODULE, include_str!("phone/der.js")),
    ("dialogs.js", MODULE, include_str!("phone/dialogs.js")),
    ("dom.js", MODULE, include_str!("phone/dom.js")),
    ("encoding.js", MODULE, include_str!("phone/encoding.js")),
    ("explain.js", MODULE, include_str!("phone/explain.js")),
    ("flows.js", MODULE, include_str!("phone/flows.js")),
    ("icon.svg", "image/svg+xml", include_str!("phone/icon.svg")),
    ("inbox.js", MODULE, include_str!("phone/inbox.js")),
    ("keys.js", MODULE, include_str!("phone/keys.js")),
    ("log.js", MODULE, include_str!("phone/log.js")),
    ("main.js", MODULE, include_str!("phone/main.js")),
    ("mistakes.js", MODULE, include_str!("phone/mistakes.js")),
    ("page.css", STYLE, include_str!("phone/page.css")),
    ("panel.css", STYLE, include_str!("phone/panel.css")),
    ("parts.js", MODULE, include_str!("phone/parts.js")),
    ("phone.css", STYLE, include_str!("phone/phone.css")),
    ("phone.js", MODULE, include_str!("phone/phone.js")),
    ("request.js", MODULE, include_str!("phone/request.js")),
    ("screens.css", STYLE, include_str!("phone/screens.css")),
    ("screens.js", MODULE, include_str!("phone/screens.js")),
    ("store.js", MODULE, include_str!("phone/store.js")),
    ("tour.js", MODULE, include_str!("phone/tour.js")),
];

/// The routes of the page and its files.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let page = Router::new().route("/sandbox/phone", get(|| async { answer("text/html; charset=utf-8", PAGE) }));
    FILES.into_iter().fold(page, |routes, (name, content_type, content)| {
        routes.route(&format!("/sandbox/phone/{name}"), get(async move || answer(content_type, content)))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::body::Body;
    use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
    use axum::http::{Request, StatusCode};
    use axum::response::Response;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    const DOCUMENT: &str = include_str!("../../../openapi.yaml");

    #[tokio::test]
    async fn the_page_and_its_modules_use_exactly_the_files_that_are_served() {
        let mut used: BTreeSet<String> =
            PAGE.split('"').filter_map(|part| part.strip_prefix("phone/")).map(str::to_owned).collect();
        for (name, content_type, content) in FILES {
            used.extend(imports(content).map(str::to_owned));

            assert!(DOCUMENT.contains(&format!("- {name}\n")), "openapi.yaml does not name {name}");
            let answer = fetch(&format!("/sandbox/phone/{name}")).await;
            assert_eq!(answer.status(), StatusCode::OK, "{name}");
            assert_eq!(answer.headers()[CONTENT_TYPE], content_type, "{name}");
            assert_eq!(text(answer).await, content, "{name}");
        }
        assert_eq!(used, FILES.into_iter().map(|(name, ..)| name.to_owned()).collect());
    }

    #[tokio::test]
    async fn the_page_allows_neither_inline_code_nor_other_hosts() {
        for path in ["/sandbox/phone", "/sandbox/phone/main.js", "/sandbox/phone/page.css"] {
            let answer = fetch(path).await;
            assert_eq!(answer.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
            let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().expect("ASCII").to_owned();
            assert!(policy.starts_with("default-src 'none';"), "{policy}");
            for refused in ["http", "*", "unsafe-inline", "unsafe-eval"] {
                assert!(!policy.contains(refused), "{policy}");
            }
        }
    }

    /// The policy refuses inline code in the browser; this finds it before.
    #[test]
    fn the_page_has_no_inline_code_and_parses_no_text_as_html() {
        for inline in ["style=", "<style", "<script>", "onclick=", "javascript:"] {
            assert!(!PAGE.contains(inline), "{inline}");
        }
        for (name, _, content) in FILES {
            for inserted in ["innerHTML", "insertAdjacentHTML", "document.write", "eval("] {
                assert!(!content.contains(inserted), "{name} uses {inserted}");
            }
        }
    }

    #[tokio::test]
    async fn other_files_are_not_served() {
        for path in ["/sandbox/phone/", "/sandbox/phone/page.html", "/sandbox/phone/../phone.rs"] {
            assert_eq!(fetch(path).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    /// The names of the modules that a module imports: `from './name.js'`.
    fn imports(module: &str) -> impl Iterator<Item = &str> {
        module.split("from './").skip(1).filter_map(|rest| rest.split('\'').next())
    }

    async fn fetch(path: &str) -> Response {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        routes().oneshot(request).await.expect("a router always answers")
    }

    async fn text(answer: Response) -> String {
        let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
        String::from_utf8(bytes.to_vec()).expect("UTF-8")
    }
}
