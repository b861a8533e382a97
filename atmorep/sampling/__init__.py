"""From the store to batches: windows drawn without bias, cut into tokens, hidden by a task.

Shape legend, used throughout the package:
    B batch, L level, T time steps, H rows, W columns of a neighbourhood;
    K tokens in time, I tokens in latitude, J tokens in longitude, V grid points a token,
    F token-information features, D width of the transformer, N = L K I J tokens, M members.
"""
