"""The operator: the custom resource's definition, and the loop that makes true what a resource asks
for."""
