//! The grades, as types that only the act they name can make.
