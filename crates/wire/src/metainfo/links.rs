//! Where symbolic links lead (BEP 47): into the torrent, or astray.

use super::{File, LINK_STEPS_MAX, Link, PATH_COMPONENTS_MAX, error::Warning, path::warn};

/// Settles every link: those that lead to a file, a folder or another link of the torrent keep their target,
/// all others are astray. A link to itself is astray, too, which is how libtorrent writes one that is.
///
/// Targets are below the torrent's name; where nothing lies there, below the link's own folder, as libtorrent
/// reads torrents of older makers.
pub(super) fn settle(files: &mut [File], warnings: &mut Vec<Warning>) {
    if files.iter().all(|file| file.attr.link.is_none()) {
        return;
    }
    let settled = settled(files);
    for (file, link) in files.iter_mut().zip(settled) {
        if link == Some(Link::Astray) {
            warn(warnings, || Warning::LinkAstray {
                path: file.path.join("/"),
            });
        }
        file.attr.link = link;
    }
}

fn settled(files: &[File]) -> Vec<Option<Link>> {
    let places = Places::of(files);
    // What is at the named place needs no other link to be followed.
    let near: Vec<Option<&Vec<String>>> = files.iter().map(|file| target(file)).collect();
    let direct: Vec<Option<Vec<String>>> = files
        .iter()
        .zip(&near)
        .map(|(file, target)| target.map(|target| places.nearest(file, target)))
        .collect();
    let mut steps = LINK_STEPS_MAX;
    files
        .iter()
        .zip(&direct)
        .map(|(file, target)| {
            file.attr.link.as_ref()?;
            let found = target.as_ref().filter(|target| {
                **target != file.path && places.leads(target, &direct, &mut steps)
            });
            Some(found.cloned().map_or(Link::Astray, Link::To))
        })
        .collect()
}

fn target(file: &File) -> Option<&Vec<String>> {
    match &file.attr.link {
        Some(Link::To(target)) => Some(target),
        Some(Link::Astray) | None => None,
    }
}

/// The paths of a torrent, sorted component by component, so that a folder stands right before what is
/// in it.
struct Places<'f>(Vec<(&'f [String], usize)>);

enum Place {
    File(usize),
    Folder,
}

impl<'f> Places<'f> {
    fn of(files: &'f [File]) -> Self {
        let written = files.iter().enumerate().filter(|(_, file)| !file.padding);
        let mut paths: Vec<_> = written.map(|(n, file)| (file.path.as_slice(), n)).collect();
        paths.sort_unstable();
        Self(paths)
    }

    fn find(&self, path: &[String]) -> Option<Place> {
        let at = self.0.partition_point(|(other, _)| *other < path);
        match self.0.get(at) {
            Some((other, file)) if *other == path => Some(Place::File(*file)),
            Some((other, _)) if other.starts_with(path) => Some(Place::Folder),
            Some(_) | None => None,
        }
    }

    /// The target as it is, or below the link's folder if something lies there and nothing here.
    fn nearest(&self, link: &File, target: &[String]) -> Vec<String> {
        if self.find(target).is_none() {
            let folder = link.path.split_last().map_or(&[][..], |(_, folder)| folder);
            let below = [folder, target].concat();
            if self.find(&below).is_some() {
                return below;
            }
        }
        target.to_vec()
    }

    /// Whether something lies at `target`, through other links if need be.
    fn leads(&self, target: &[String], links: &[Option<Vec<String>>], steps: &mut u32) -> bool {
        if self.find(target).is_some() {
            return true;
        }
        let mut target = target.to_vec();
        let mut known = 0;
        while known + 1 < target.len() {
            let Some(left) = steps.checked_sub(1) else {
                return false;
            };
            *steps = left;
            match self.find(&target[..=known]) {
                Some(Place::Folder) => known += 1,
                Some(Place::File(file)) => {
                    let Some(Some(through)) = links.get(file) else {
                        return false;
                    };
                    target = [through.as_slice(), &target[known + 1..]].concat();
                    known = 0;
                    // Circles end when the steps do, or here.
                    if target.len() > 2 * PATH_COMPONENTS_MAX {
                        return false;
                    }
                }
                None => return false,
            }
        }
        self.find(&target).is_some()
    }
}
