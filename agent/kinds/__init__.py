"""The resource kinds. Each decides the fate of its resources, one by one: kept, replaced or removed."""
