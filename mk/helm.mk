# The image and the chart, without a cluster or a builder of images.

HELM_TOOLS ?= $${XDG_CACHE_HOME:-$$HOME/.cache}/scrm-gateway/tools
SCRM_GATEWAY_BIN ?= $${CARGO_TARGET_DIR:-$${XDG_CACHE_HOME:-$$HOME/.cache}/scrm-gateway/target}/debug/scrm-gateway

.PHONY: helm
helm: ## Lint the Dockerfile and the chart, and check what the chart renders
	HELM_TOOLS="$(HELM_TOOLS)" SCRM_GATEWAY_BIN="$(SCRM_GATEWAY_BIN)" tests/helm/run.sh
