"""Methods that generate whole images of log photons: autoencoders with Sinkhorn, MMD or KL terms, and a GAN."""
