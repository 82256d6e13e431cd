//! axe-core, which examines a page in the browser for accessibility. `.ci/run` installs a fixed version into `target/axe`.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::{Browser, report_not_run};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/axe/node_modules/axe-core/axe.min.js");

impl Browser {
    /// Whether axe-core is installed. If not, reports `test` as not run.
    pub(crate) fn has_axe_for(test: &str) -> bool {
        let there = Path::new(SCRIPT).is_file();
        if !there {
            report_not_run(test, "install axe-core (npm install --prefix target/axe axe-core)");
        }
        there
    }

    /// Asserts that axe-core finds no violation on the page as it is now, in the light and the dark colour scheme.
    pub(crate) async fn assert_accessible(&self, state: &str) {
        let source = fs::read_to_string(SCRIPT).expect("the test checked that it is installed");
        let () = self.run(&format!("if (!window.axe) {{ {source} }}"), &[]).await;
        for scheme in ["dark", "light"] {
            self.prefer(scheme).await;
            self.until_still().await; // a colour in transition has another contrast
            let (violations, passed): (Vec<String>, usize) =
                self.run_async(EXAMINE, &[json!({"preload": false})]).await;
            assert!(violations.is_empty() && passed > 10, "{state}, {scheme}:\n{}", violations.join("\n"));
        }
    }
}

const EXAMINE: &str = "
    const [options, done] = arguments;
    const describe = ({ id, help, nodes }) =>
        `${id}: ${help}\\n` + nodes.map((node) => `  ${node.html}\\n  ${node.failureSummary}`).join('\\n');
    axe.run(document, options)
        .then((result) => done([result.violations.map(describe), result.passes.length]), (error) => done([[String(error)], 0]));";
