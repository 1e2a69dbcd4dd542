"""A cluster as platform: the objects that a deployment is made of, the gateway's counts, the API
server."""
