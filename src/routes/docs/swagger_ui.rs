//! The embedded files of the Swagger UI, and the names under which they are served.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use utoipa_swagger_ui::Config;

use super::file::{EmbeddedFile, IMMUTABLE, REVALIDATE};

/// The page, which names the other files.
const PAGE: &str = "index.html";
/// The files that the page loads.
const FILES: [&str; 7] = [
    "favicon-16x16.png",
    "favicon-32x32.png",
    "index.css",
    "swagger-initializer.js",
    "swagger-ui-bundle.js",
    "swagger-ui-standalone-preset.js",
    "swagger-ui.css",
];
/// The title in the embedded page, and ours.
const TITLES: (&str, &str) = ("<title>Swagger UI</title>", "<title>scrm-gateway</title>");

/// The files by name. They depend on no configuration, so all services of a process share them.
static SERVED: LazyLock<HashMap<String, Served>> = LazyLock::new(served);

struct Served {
    file: Arc<EmbeddedFile>,
    cache_control: HeaderValue,
}

/// Returns a file by its name below `/docs/`; the empty name is the page.
pub(super) fn respond(name: &str, request: &HeaderMap) -> Option<Response> {
    let served = SERVED.get(name)?;
    Some(served.file.respond(request, served.cache_control.clone()))
}

fn served() -> HashMap<String, Served> {
    // Relative, so that it is found behind an ingress that adds a prefix.
    let config = Config::from("../openapi.json")
        // No bar above the page: all that it does is to load other documents.
        .use_base_layout()
        .try_it_out_enabled(true)
        .validator_url("none");
    let config = Arc::new(config);
    let mut page = embedded(PAGE, &config).text().replace(TITLES.0, TITLES.1);
    let mut served = HashMap::new();
    for name in FILES {
        let file = Arc::new(embedded(name, &config));
        let hashed = hashed_name(name, file.hash());
        // Relative addresses, like those of the embedded page.
        page = page.replace(&format!("\"./{name}\""), &format!("\"{hashed}\""));
        page = page.replace(&format!("\"{name}\""), &format!("\"{hashed}\""));
        served.insert(hashed, Served { file: file.clone(), cache_control: IMMUTABLE });
        served.insert(name.to_owned(), Served { file, cache_control: REVALIDATE });
    }
    let page = Arc::new(EmbeddedFile::plain("text/html", page.into()));
    for name in ["", PAGE] {
        served.insert(name.to_owned(), Served { file: page.clone(), cache_control: REVALIDATE });
    }
    served
}

/// Puts the hash before the extension.
fn hashed_name(name: &str, hash: &str) -> String {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    format!("{stem}.{hash}.{extension}")
}

fn embedded(name: &str, config: &Arc<Config<'static>>) -> EmbeddedFile {
    let file = utoipa_swagger_ui::serve(name, config.clone()).ok().flatten().expect("the crate embeds the file");
    let bytes = match file.bytes {
        Cow::Borrowed(embedded) => Bytes::from_static(embedded),
        Cow::Owned(generated) => generated.into(),
    };
    let new = if file.gzpipped { EmbeddedFile::gzipped } else { EmbeddedFile::plain };
    new(&file.content_type, bytes)
}
