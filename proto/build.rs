//! Compiles the `.proto` files without `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const FILES: [&str; 13] = [
        "auth.proto",
        "admission.proto",
        "bypass.proto",
        "hop.proto",
        "limiter.proto",
        "hosts.proto",
        "resolver.proto",
        "ingress.proto",
        "router.proto",
        "sd.proto",
        "recorder.proto",
        "observer.proto",
        "rewriter.proto",
    ];
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    prost_build::Config::new().compile_fds(descriptors)?;
    Ok(())
}
