"""The monitor of a cluster: holds what every ModelDeployment is asked and answers against what is
usual, tells of it in their status, and starts retraining.

    shards       which deployments are one monitor's: by a hash, and a Lease for each shard
    packages     what a monitor knows of a model: the files that its servers showed
    watching     one look at all deployments of the shard
    telling      the status, its condition and the events
    challengers  the losses that labels tell of, and Jobs that train a challenger
    turns        whether a run of one deployment is due
    receiver     what Alertmanager says; the listener hears it
    process      all of it as a process

What must survive a monitor is the collector's to keep.
"""
