"""What all packages of zdc-fastsim share: errors, command lines, files that are whole, compiled kernels."""
