module cluster/helm

go 1.26.0
