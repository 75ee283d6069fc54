//! Trackers and web seeds of a torrent file.

use super::{URL_BYTES_MAX, URLS_MAX, error::Warning, path::warn};
use crate::bencode::{Node, Value};

/// Trackers: `announce-list` if it names any, else `announce` (BEP 12).
pub(super) fn tiers(root: &Node<'_>, warnings: &mut Vec<Warning>) -> Vec<Vec<String>> {
    let mut urls = Urls {
        field: "announce-list",
        count: 0,
        warnings,
    };
    let mut tiers = Vec::new();
    if let Some(list) = root.get("announce-list") {
        for tier in urls.list(list) {
            let items = urls.list(tier);
            let tier: Vec<String> = items.iter().filter_map(|item| urls.url(item)).collect();
            if !tier.is_empty() {
                tiers.push(tier);
            }
        }
    }
    if tiers.is_empty() {
        urls.field = "announce";
        tiers.extend(
            root.get("announce")
                .and_then(|node| urls.url(node))
                .map(|url| vec![url]),
        );
    }
    tiers
}

/// Web seeds: one string or a list of them (BEP 19).
pub(super) fn web_seeds(root: &Node<'_>, warnings: &mut Vec<Warning>) -> Vec<String> {
    let Some(node) = root.get("url-list") else {
        return Vec::new();
    };
    let mut urls = Urls {
        field: "url-list",
        count: 0,
        warnings,
    };
    match &node.value {
        Value::List(items) => items.iter().filter_map(|item| urls.url(item)).collect(),
        Value::Bytes(_) | Value::Int(_) | Value::Dict(_) => urls.url(node).into_iter().collect(),
    }
}

/// Reads URLs of one field, each with a warning where it is unusable.
struct Urls<'w> {
    field: &'static str,
    count: usize,
    warnings: &'w mut Vec<Warning>,
}

impl Urls<'_> {
    fn list<'n, 'a>(&mut self, node: &'n Node<'a>) -> &'n [Node<'a>] {
        node.as_list().unwrap_or_else(|| {
            self.ignored();
            &[]
        })
    }

    /// The URL without white space around it; none for an empty string, which makers leave there.
    fn url(&mut self, node: &Node<'_>) -> Option<String> {
        let Some(url) = node
            .as_str()
            .map(str::trim)
            .filter(|url| url.len() <= URL_BYTES_MAX)
        else {
            self.ignored();
            return None;
        };
        if url.is_empty() {
            return None;
        }
        self.count += 1;
        if self.count > URLS_MAX {
            if self.count == URLS_MAX + 1 {
                let field = self.field;
                warn(self.warnings, || Warning::ListCut {
                    field,
                    limit: URLS_MAX,
                });
            }
            return None;
        }
        Some(url.to_owned())
    }

    fn ignored(&mut self) {
        let warning = Warning::FieldIgnored { field: self.field };
        if !self.warnings.contains(&warning) {
            warn(self.warnings, || warning);
        }
    }
}
