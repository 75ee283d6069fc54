//! HTTP/1.1 as trackers use it: requests and responses, client and server side.
