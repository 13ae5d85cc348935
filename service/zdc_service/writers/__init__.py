"""Writers for files of responses, as used by `zdc simulate`: HDF5, ROOT, Parquet and npz."""

from zdc_service.writers.results import ResultWriter
from zdc_service.writers.rows import FileDescription, Rows
from zdc_service.writers.writing import check_output, create_results

__all__ = ["FileDescription", "ResultWriter", "Rows", "check_output", "create_results"]
