variable "cluster_issuer" {
  description = "What `kubectl get --raw /.well-known/openid-configuration` names as issuer."
  type        = string
}

variable "cluster_jwks" {
  description = "What `kubectl get --raw /openid/v1/jwks` prints; null if Google can reach the issuer."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Whether `terraform destroy` is refused for the pool and the provider."
  type        = bool
  default     = true
}

variable "namespace" {
  description = "Namespace whose service accounts are admitted."
  type        = string
  default     = "training"
}

variable "project_id" {
  description = "Id of the project that owns the pool."
  type        = string
}

variable "token_path" {
  description = "Where the projected token is mounted."
  type        = string
  default     = "/var/run/secrets/tokens/subject-token"
}
