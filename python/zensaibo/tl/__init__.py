"""Tools: clustering, embedding, markers, with scanpy's names, parameters and slots."""
