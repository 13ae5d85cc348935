"""Code for all packages of zdc-fastsim: errors, command lines, files, compiled functions; no physics."""
