"""A worker process that answers with probes, see `zdc_training.simulator.worker`."""

from zdc_training.simulator.worker import serve
from zdc_training.validation.probes import probe_of

if __name__ == "__main__":
    serve(probe_of)
