//! Holds the repository against the rules.

use syncline_tidy::metadata::{Metadata, this_platform};
use syncline_tidy::tree::{Tree, git, root};
use syncline_tidy::{
    assert_none, core_is_pure, drawers, error_codes, layers, length, licences, limits, links,
    lock_files, manifests, places, routes, unfinished, unsafe_code, wit,
};

/// What functions are compiled for.
const GUEST_PLATFORM: &str = "wasm32-unknown-unknown";

#[test]
fn dependencies_point_one_way() {
    assert_none(layers::check(&Metadata::read(&root(), &this_platform())));
}

#[test]
fn licences_go_with_ours() {
    assert_none(licences::check(&Metadata::read(&root(), &this_platform())));
    for guests in ["guest-examples", "tests/guests", "tests/hostile/guests/std"] {
        assert_none(licences::check(&Metadata::read(&root().join(guests), GUEST_PLATFORM)));
    }
}

#[test]
fn packages_inherit_from_their_workspace() {
    assert_none(manifests::check(&Tree::read()));
}

#[test]
fn lock_files_are_committed() {
    // A copy without git holds what it holds.
    if let Some(tracked) = git(&["ls-files", "-z"]) {
        assert_none(lock_files::check(&tracked));
    }
}

#[test]
fn the_core_is_pure() {
    assert_none(core_is_pure::check(&Tree::read()));
}

#[test]
fn files_are_not_too_long() {
    assert_none(length::check(&Tree::read()));
}

#[test]
fn nothing_is_left_for_later() {
    assert_none(unfinished::check(&Tree::read()));
}

#[test]
fn no_file_names_a_machine_or_a_registry() {
    assert_none(places::check(&Tree::read()));
}

#[test]
fn there_are_no_drawers() {
    assert_none(drawers::check_names(&Tree::read()));
    assert_none(drawers::check_mod_rs(&Tree::read()));
}

#[test]
fn each_crate_says_what_it_is() {
    assert_none(drawers::check_crate_docs(&Tree::read()));
}

#[test]
fn unsafe_code_has_its_reason() {
    assert_none(unsafe_code::check(&Tree::read()));
}

#[test]
fn links_lead_somewhere() {
    assert_none(links::check(&Tree::read()));
}

#[test]
fn the_book_names_all_its_pages() {
    assert_none(links::check_contents(&Tree::read()));
}

#[test]
fn the_page_of_limits_is_as_the_code() {
    assert_none(limits::check(&Tree::read()));
}

#[test]
fn the_page_of_the_api_has_every_route() {
    assert_none(routes::check(&Tree::read()));
}

#[test]
fn the_page_of_error_codes_is_as_the_node() {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let tree = Tree::read();
        let source = tree.get("runtime/node/src/problem.rs").unwrap_or_default();
        let page = tree.get(error_codes::PAGE).unwrap_or_default();
        let page = error_codes::generate(source, page).unwrap();
        std::fs::write(root().join(error_codes::PAGE), page).unwrap();
    }
    assert_none(error_codes::check(&Tree::read()));
}

#[test]
fn the_interface_of_functions_keeps_its_version() {
    assert_none(wit::check(&Tree::read()));
}
