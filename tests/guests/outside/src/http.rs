//! Requests.

use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::http::{
    outgoing_handler::handle,
    types::{Fields, FutureIncomingResponse, IncomingResponse, Method, OutgoingRequest, Scheme},
};

use crate::Outcome;

fn start(method: &Method, url: &str) -> Result<FutureIncomingResponse, String> {
    let (scheme, rest) = url.split_once("://").ok_or("no URL")?;
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let request = OutgoingRequest::new(Fields::new());
    request.set_method(method).map_err(|()| "method")?;
    request.set_scheme(Some(&scheme)).map_err(|()| "scheme")?;
    request.set_authority(Some(authority)).map_err(|()| "authority")?;
    request.set_path_with_query(Some(if path.is_empty() { "/" } else { path })).map_err(|()| "path")?;
    handle(request, None).map_err(|error| format!("{error:?}"))
}

fn fetch(url: &str) -> Result<IncomingResponse, String> {
    let future = start(&Method::Get, url)?;
    future.subscribe().block();
    future.get().ok_or("not ready")?.map_err(|()| "taken")?.map_err(|error| format!("{error:?}"))
}

/// Status and body.
pub(crate) fn get(url: &str) -> Outcome {
    let response = fetch(url)?;
    let status = response.status();
    let body = response.consume().map_err(|()| "no body")?;
    let stream = body.stream().map_err(|()| "no stream")?;
    let mut all = Vec::new();
    loop {
        match stream.blocking_read(1 << 16) {
            Ok(bytes) => all.extend(bytes),
            Err(wasip2::io::streams::StreamError::Closed) => break,
            Err(wasip2::io::streams::StreamError::LastOperationFailed(error)) => {
                return Err(format!("{} after {} bytes", error.to_debug_string(), all.len()));
            }
        }
    }
    Ok(format!("{status} {}", String::from_utf8_lossy(&all)))
}

/// Goes where a redirect leads.
pub(crate) fn follow(url: &str) -> Outcome {
    let location = fetch(url)?.headers().get("location").pop().ok_or("no redirect")?;
    get(&String::from_utf8_lossy(&location))
}

pub(crate) fn connect(url: &str) -> Outcome {
    let future = start(&Method::Connect, url)?;
    future.subscribe().block();
    let response = future.get().ok_or("not ready")?.map_err(|()| "taken")?.map_err(|error| format!("{error:?}"))?;
    Ok(response.status().to_string())
}

/// Starts requests until one fails; answers how many there were, and why.
pub(crate) fn many(url: &str) -> Outcome {
    let mut open = Vec::new();
    loop {
        let future = start(&Method::Get, url)?;
        // A refusal comes on a task of its own.
        wasip2::io::poll::poll(&[&future.subscribe(), &subscribe_duration(20_000_000)]);
        if let Some(Ok(Err(error))) = future.get() {
            return Ok(format!("{} {error:?}", open.len()));
        }
        open.push(future);
    }
}
