//! Command scripts: what a user types, what comes back, and the exit code. Each file of `tests/cmd`
//! is one session in a folder of its own (`NAME.in` if there is one).

#[test]
fn commands_say_what_the_scripts_say() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}
